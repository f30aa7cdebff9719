/* How pictures come in: dropped, pasted, chosen, by address, or the sample. */

import { byId } from "./elements.js";
import { Picture } from "./gallery.js";

const SAMPLE = "sample.png";

/**
 * Wire it all up.
 *
 * @param {(pictures: Picture[]) => void} accept takes what came
 * @param {(text: string) => void} say tells what did not
 */
export function setUpIntake(accept, say) {
  setUpFiles(accept);
  setUpDropping(accept, say);
  setUpPasting(accept);
  byId("take-sample").addEventListener("click", () => takeSample(accept, say));
  byId("url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    takeUrl(byId("url").value.trim(), accept);
  });
}

function setUpFiles(accept) {
  const input = byId("files");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    accept([...input.files].map(fromFile));
    input.value = ""; // so that the same file can be chosen again
  });
}

function setUpDropping(accept, say) {
  const over = (on) => byId("drop").classList.toggle("over", on);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) over(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const files = [...event.dataTransfer.files];
    if (files.length > 0) accept(files.map(fromFile));
    else if (!takeUrl(event.dataTransfer.getData("text/uri-list").split("\n")[0].trim(), accept)) {
      say("Nothing to detect in was dropped.");
    }
  });
}

function setUpPasting(accept) {
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length > 0) {
      event.preventDefault();
      accept(files.map((file) => new Picture({ name: file.name || "pasted.png", blob: file, pasted: true })));
    } else if (!event.target.closest("input") && isWebAddress(event.clipboardData.getData("text/plain").trim())) {
      takeUrl(event.clipboardData.getData("text/plain").trim(), accept);
    }
  });
}

function fromFile(file) {
  return new Picture({ name: file.name, blob: file });
}

async function takeSample(accept, say) {
  try {
    const response = await fetch(SAMPLE);
    if (!response.ok) throw new Error(String(response.status));
    accept([new Picture({ name: SAMPLE, blob: await response.blob(), sample: true })]);
  } catch {
    say("The sample could not be loaded: is the gateway running?");
  }
}

function takeUrl(text, accept) {
  const input = byId("url");
  const good = isWebAddress(text);
  byId("url-error").hidden = good;
  byId("url-error").textContent = good ? "" : "Write a whole address, beginning with https:// or http://.";
  if (good) input.removeAttribute("aria-invalid");
  else {
    input.setAttribute("aria-invalid", "true");
    input.focus();
    return false;
  }
  input.value = "";
  const last = decodedOrRaw(new URL(text).pathname.split("/").pop());
  accept([new Picture({ name: last || new URL(text).hostname, url: text })]);
  return true;
}

function isWebAddress(text) {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function decodedOrRaw(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
