// The hold form, in a dialog over the page. Without this file, its links open it as a page of its own.
import { announce, read, replace, schedule } from "./live.js";
import { showTimes } from "./times.js";

const dialog = document.querySelector("#dialog");
let opener = "";
let key = "";

export function dialogs() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link.getAttribute("href"));
  });
  dialog.addEventListener("click", (event) => {
    if (event.target !== dialog && !event.target.closest("[data-close]")) return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    document.querySelector(`[href="${CSS.escape(opener)}"]`)?.focus();
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    send(new FormData(event.target, event.submitter));
  });
  dialog.addEventListener("change", (event) => {
    if (event.target.matches("[name=choice], [name=allow_better]")) preview();
  });
}

async function open(href) {
  opener = href;
  try {
    const answer = await fetch(href, { cache: "no-store" });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    fill(read(await answer.text()));
    dialog.showModal();
    const first = dialog.querySelector("[name=choice]:checked, [name=choice]:not([type=hidden]), [name=expires_in_s]:checked, [name=key]");
    first?.focus();
    if (dialog.querySelector("[name=choice]:checked")) preview();
  } catch {
    location.href = href;
  }
}

function fill(page) {
  dialog.replaceChildren(page.querySelector("#hold"));
  dialog.querySelector(".preview")?.remove();
  const field = dialog.querySelector("[name=key]");
  field.value = key;
  field.addEventListener("input", () => { key = field.value; });
  showTimes();
}

async function post(data) {
  const answer = await fetch("/hold", { method: "POST", body: new URLSearchParams(data) });
  return { answer, page: read(await answer.text()) };
}

async function send(data) {
  const buttons = dialog.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  try {
    const { answer, page } = await post(data);
    if (answer.redirected) {
      replace(page);
      schedule();
      announce(page.querySelector(".notice")?.textContent ?? "");
      dialog.close();
    } else {
      fill(page);
      dialog.querySelector("[role=alert]")?.focus();
    }
  } catch {
    for (const button of buttons) button.disabled = false;
    dialog.querySelector("#preview").textContent = "No answer came. It may have been done all the same: look before you try again.";
  }
}

async function preview() {
  const form = dialog.querySelector("form");
  const data = new FormData(form);
  data.set("action", "preview");
  data.delete("key");
  try {
    const { page } = await post(data);
    const found = page.querySelector("#preview");
    if (found && form.isConnected) dialog.querySelector("#preview").replaceChildren(...found.childNodes);
  } catch { /* it is only a preview */ }
}
