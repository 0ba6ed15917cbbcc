// Entry of the live page. Everything here is an addition: without it the page reloads by itself.
import { follow } from "./live.js";
import { dialogs } from "./dialog.js";

function begin() {
  follow();
  dialogs();
}

// The first view comes first: to follow the stream at once would have the page fetched again before it is painted.
if (document.hidden) begin();
else requestAnimationFrame(() => setTimeout(begin));
