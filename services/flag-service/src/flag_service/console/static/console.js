// Entry of the live page. Everything here is an addition: without it the page reloads by itself.
import { follow } from "./live.js";
import { dialogs } from "./dialog.js";

follow();
dialogs();
