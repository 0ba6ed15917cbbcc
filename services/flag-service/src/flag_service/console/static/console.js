// Keeps the page current: each event of the stream asks for the page again and puts its live parts in place.
// The server's templates stay the only place that knows how a state looks.

const main = document.querySelector("#main");
const chip = document.querySelector("#freshness");
const scope = main.dataset.scope;
const shown = new Map();
const REFRESH_DELAY_MS = 60;
const RETRY_MS = 3000;

let freshUntil = 0;
let connected = false;
let pending = 0;
let running = false;
let again = false;

for (const part of document.querySelectorAll("[data-live]")) shown.set(part.id, part.outerHTML);
takeFreshness();

const stream = new EventSource(`/v1/stream?scope=${encodeURIComponent(scope)}`);
for (const kind of ["snapshot", "state", "change", "heartbeat"]) stream.addEventListener(kind, schedule);
stream.addEventListener("open", () => { connected = true; tick(); });
stream.addEventListener("error", () => { connected = false; tick(); });
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
setInterval(tick, 1000);
tick();

function schedule() {
  if (running) { again = true; return; }
  clearTimeout(pending);
  pending = setTimeout(refresh, REFRESH_DELAY_MS);
}

async function refresh() {
  running = true;
  again = false;
  try {
    const answer = await fetch(`/?scope=${encodeURIComponent(scope)}`, { cache: "no-store" });
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    pending = setTimeout(refresh, RETRY_MS);
  } finally {
    running = false;
  }
  if (again) schedule();
}

function replace(page) {
  document.title = page.title;
  main.toggleAttribute("data-stale", page.querySelector("#main").hasAttribute("data-stale"));
  for (const part of page.querySelectorAll("[data-live]")) {
    const html = part.outerHTML;
    if (shown.get(part.id) === html) continue;
    shown.set(part.id, html);
    const old = document.getElementById(part.id);
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    for (const { name, value } of part.attributes) old.setAttribute(name, value);
    old.replaceChildren(...part.childNodes);
    if (focused) old.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  }
  takeFreshness();
  tick();
}

function takeFreshness() {
  freshUntil = performance.now() + Number(chip.dataset.freshForS) * 1000;
}

function tick() {
  const overdue = (performance.now() - freshUntil) / 1000;
  const stale = overdue > 0;
  chip.dataset.state = stale ? "stale" : connected ? "live" : "reconnecting";
  if (stale) chip.textContent = Number.isFinite(overdue) ? `stale for ${span(overdue)}` : "no level heard yet";
  else chip.textContent = connected ? "live" : "reconnecting";
  main.classList.toggle("greyed", stale);
  for (const time of document.querySelectorAll("time")) relative(time);
}

function relative(time) {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const words = span(Math.abs(seconds));
  const text = seconds > 0 ? `in ${words}` : `${words} ago`;
  if (time.textContent !== text) time.textContent = text;
}

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 36000) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}
