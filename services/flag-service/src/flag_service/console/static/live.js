// Keeps the page live: whenever the stream speaks, and every few seconds, the page is fetched again and the parts
// that differ are put in place. The server's templates stay the only place that knows how a state looks.
import { setClock, showTimes, span } from "./times.js";

const SOON_MS = 60;
const EVERY_MS = 5000;
const ANSWER_MS = 5000;
const LOST_S = 3;
const SILENT_S = 15;

const main = document.querySelector("#main");
const chip = document.querySelector("#freshness");
const announcer = document.querySelector("#announce");
const here = new URL(location.href);
const shown = new Map();

let freshUntil = 0;
let fetchedAt = performance.now();
let lostAt = performance.now();
let connected = false;
let pending = 0;
let running = false;
let again = false;
let wasStale = false;

export function follow() {
  here.searchParams.delete("done");
  here.hash = "";
  history.replaceState(null, "", here.href + location.hash);
  for (const part of document.querySelectorAll("[data-live]")) shown.set(part.id, part.outerHTML);
  takeFreshness();
  const stream = new EventSource(`/v1/stream?scope=${encodeURIComponent(main.dataset.scope)}`);
  for (const kind of ["snapshot", "state", "change", "heartbeat"]) stream.addEventListener(kind, schedule);
  stream.addEventListener("open", () => { connected = true; tick(); });
  stream.addEventListener("error", () => {
    if (connected) lostAt = performance.now();
    connected = false;
    tick();
  });
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  addEventListener("visibilitychange", schedule);
  setInterval(() => { if (!document.hidden) schedule(); }, EVERY_MS);
  setInterval(tick, 1000);
  tick();
}

export function schedule() {
  if (running) { again = true; return; }
  clearTimeout(pending);
  pending = setTimeout(refresh, SOON_MS);
}

async function refresh() {
  running = true;
  again = false;
  try {
    const answer = await fetch(here, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    if (answer.ok) replace(read(await answer.text()));
  } catch {
    tick(); // the page grows stale by itself; the next turn tries again
  } finally {
    running = false;
  }
  if (again) schedule();
}

export function read(html) { return new DOMParser().parseFromString(html, "text/html"); }

export function replace(page) {
  const before = document.title;
  document.title = page.title;
  main.toggleAttribute("data-stale", page.querySelector("#main").hasAttribute("data-stale"));
  for (const part of page.querySelectorAll("[data-live]")) place(part);
  fetchedAt = performance.now();
  takeFreshness();
  tick();
  if (page.title !== before) announce(`The level is now ${document.querySelector("#h-level").textContent}.`);
}

function place(part) {
  const html = part.outerHTML;
  const old = document.getElementById(part.id);
  if (!old || shown.get(part.id) === html) return;
  shown.set(part.id, html);
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  if (old.querySelector("details")?.open) part.querySelector("details")?.setAttribute("open", "");
  for (const { name, value } of part.attributes) old.setAttribute(name, value);
  old.replaceChildren(...part.childNodes);
  if (focused) old.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

export function announce(text) { announcer.textContent = text; }

function takeFreshness() {
  setClock(chip.dataset.now);
  freshUntil = performance.now() + Number(chip.dataset.freshForS) * 1000;
}

// Old data is never shown as if it were current: the engine has gone silent, the stream is gone for some seconds,
// or nothing has been fetched for longer than that takes.
function overdueS() {
  const now = performance.now();
  const silent = (now - fetchedAt) / 1000 - SILENT_S;
  const lost = connected ? -1 : (now - lostAt) / 1000 - LOST_S;
  const overdue = (now - freshUntil) / 1000;
  if (overdue > 0) return overdue;
  return Math.max(silent, lost) > 0 ? (now - fetchedAt) / 1000 : 0;
}

function tick() {
  const overdue = overdueS();
  const stale = overdue > 0;
  chip.dataset.state = stale ? "stale" : connected ? "live" : "reconnecting";
  if (!stale) chip.textContent = connected ? "live" : "reconnecting";
  else chip.textContent = document.querySelector("#h-level").textContent === "UNKNOWN" ? "no level heard yet" : `stale for ${span(overdue)}`;
  main.classList.toggle("greyed", stale);
  if (stale !== wasStale) announce(stale ? "What is shown is old: nothing newer comes." : "Live again.");
  wasStale = stale;
  showTimes();
}
