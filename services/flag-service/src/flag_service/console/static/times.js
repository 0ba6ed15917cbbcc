// Times in the reader's terms. The server's clock counts, as the reader's may be wrong.
let ahead = 0;

export function setClock(now) { ahead = Date.parse(now) - Date.now(); }

export function showTimes() {
  for (const time of document.querySelectorAll("time")) {
    const seconds = (Date.parse(time.dateTime) - Date.now() - ahead) / 1000;
    const text = "countdown" in time.dataset ? countdown(seconds) : relative(seconds);
    if (time.textContent !== text) time.textContent = text;
  }
}

export function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 36000) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function relative(seconds) {
  const words = span(Math.abs(seconds));
  return seconds > 0 ? `in ${words}` : `${words} ago`;
}

function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  return h ? `in ${h}:${two(m)}:${two(s)}` : `in ${m}:${two(s)}`;
}
