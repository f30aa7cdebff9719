/* The exact request and answer, and code that makes the same request. */

import { base64, hasKey, itemOf, modelHeaders, requestBody, SCORE_URL } from "./asking.js";
import { byId, element, makeTabStop, roam } from "./elements.js";

/* The exact request and response, and commands that send the same. */

const PREVIEW_BYTES = 30; // of the picture, as 40 characters of base64

/** The tabs, in their order: `shown` is what is on the screen, `copied` what the clipboard gets. */
const TABS = [
  { name: "Response", note: "The response’s body as it came.", shown: prettyResponse, copied: (picture) => picture.responseText },
  { name: "Request", note: "The body of POST /score. Base64 is shortened here and copied whole.", shown: shortRequest, copied: wholeRequest },
  { name: "curl", note: saveFirst, shown: curl, copied: curl },
  { name: "Python", note: saveFirst, shown: python, copied: python },
  { name: "Python, our client", note: saveFirst, shown: pythonClient, copied: pythonClient },
];

function prettyResponse(picture) {
  return JSON.stringify(JSON.parse(picture.responseText), null, 2);
}

async function shortRequest(picture) {
  if (picture.url) return requestBody(picture.url);
  const start = await base64(picture.blob.slice(0, PREVIEW_BYTES), picture.name);
  const length = 4 * Math.ceil(picture.blob.size / 3);
  return requestBody(length > start.length ? `${start}… (${length.toLocaleString("en-GB")} characters)` : start);
}

async function wholeRequest(picture) {
  return requestBody(await itemOf(picture));
}

function curl(picture) {
  const head = ["curl --fail-with-body", shellQuoted(SCORE_URL), "-H 'Content-Type: application/json'"];
  if (hasKey()) head.push('-H "Authorization: Bearer $VFNET_KEY"');
  head.push(...modelHeaders(picture).map(([name, value]) => `-H '${name}: ${value}'`));
  if (picture.url) return [...head, `--data-binary ${shellQuoted(requestBody(picture.url))}`].join(" \\\n  ") + "\n";
  const before = picture.sample ? `curl -sS -o sample.png ${shellQuoted(sampleUrl())}\n` : "";
  const [front, back] = requestBody("%s").split("%s");
  const file = shellQuoted(localPath(picture.name));
  const body = `printf '${front}%s${back}' "$(base64 < ${file} | tr -d '\\n')"`;
  return `${before}${body} |\n  ${[...head, "--data-binary @-"].join(" \\\n  ")}\n`;
}

function python(picture) {
  const modules = ["json", ...(hasKey() ? ["os"] : []), "urllib.request"];
  const headers = ['"Content-Type": "application/json"'];
  if (hasKey()) headers.push('"Authorization": "Bearer " + os.environ["VFNET_KEY"]');
  headers.push(...modelHeaders(picture).map(([name, value]) => `${pythonText(name)}: ${pythonText(value)}`));
  const lines = [...(picture.url ? [] : ["import base64"]), ...modules.map((name) => `import ${name}`)];
  if (!picture.url) lines.push("from pathlib import Path");
  lines.push("");
  if (picture.sample) lines.push(`urllib.request.urlretrieve(${pythonText(sampleUrl())}, "sample.png")`);
  lines.push(
    picture.url ? `image = ${pythonText(picture.url)}` : `image = base64.b64encode(Path(${pythonText(picture.name)}).read_bytes()).decode()`,
    'body = {"input_data": {"columns": ["image"], "index": [0], "data": [image]}}',
    "request = urllib.request.Request(",
    `    ${pythonText(SCORE_URL)},`,
    "    json.dumps(body).encode(),",
    `    {${headers.join(", ")}},`,
    ")",
    "with urllib.request.urlopen(request) as response:",
    '    for box in json.load(response)[0]["boxes"]:',
    '        print(box["label"], round(box["score"], 3), box["box"])',
  );
  return `${lines.join("\n")}\n`;
}

function pythonClient(picture) {
  const lines = hasKey() ? ["import os", "", "from vfnet_client import Credentials, VFNetClient"] : ["from vfnet_client import VFNetClient"];
  const key = hasKey() ? ', credentials=Credentials(key=os.environ["VFNET_KEY"])' : "";
  const model = modelHeaders(picture).map(([, value]) => `, model=${pythonText(value)}`).join("");
  const image = picture.sample ? sampleUrl() : picture.url ?? picture.name;
  lines.push(
    "",
    `with VFNetClient(${pythonText(SCORE_URL)}${key}${model}) as client:`,
    `    for box in client.detect(${pythonText(image)}).boxes:`,
    "        print(box.label, round(box.score, 3), box.top_x, box.top_y, box.bottom_x, box.bottom_y)",
  );
  return `${lines.join("\n")}\n`;
}

function saveFirst(picture) {
  const where = picture.pasted ? `Save the pasted picture as ${picture.name} first.` : picture.url || picture.sample ? "" : `Run it in the folder of ${picture.name}.`;
  return hasKey() ? `${where} The key is read from the environment variable VFNET_KEY.`.trim() : where;
}

function sampleUrl() {
  return new URL("sample.png", document.baseURI).href;
}

/** A file name that no command takes for an option. */
function localPath(name) {
  return name.startsWith("-") ? `./${name}` : name;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function pythonText(text) {
  return JSON.stringify(text); // every JSON text is a Python literal of the same meaning
}

/* Putting text on the clipboard. */

/** Whether it worked. Without TLS browsers withhold the clipboard, but still copy a selection. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text);
  }
}

function copySelection(text) {
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/* The tabs that show request and response, and the copy button. */

/** Shows #exchange. */
export class Exchange {
  #picture = null;
  #chosen = TABS[0];
  #buttons;

  constructor() {
    this.#buttons = TABS.map((tab, index) => {
      const button = element("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "tab-panel" }, tab.name);
      button.addEventListener("click", () => this.#choose(tab));
      return button;
    });
    byId("tabs").append(...this.#buttons);
    roam(byId("tabs"), () => this.#buttons, (button) => button.click());
    byId("copy").addEventListener("click", () => this.#copy());
    this.#choose(this.#chosen);
  }

  /** Show the exchange of a picture that is done; null hides it. */
  show(picture) {
    this.#picture = picture;
    byId("exchange").hidden = picture === null;
    byId("copied").textContent = "";
    this.#write();
  }

  #choose(tab) {
    this.#chosen = tab;
    const button = this.#buttons[TABS.indexOf(tab)];
    for (const other of this.#buttons) other.setAttribute("aria-selected", String(other === button));
    makeTabStop(this.#buttons, button);
    byId("tab-panel").setAttribute("aria-labelledby", button.id);
    byId("copy").setAttribute("aria-label", `Copy: ${tab.name}`);
    byId("copied").textContent = "";
    this.#write();
  }

  async #write() {
    const [picture, tab] = [this.#picture, this.#chosen];
    if (picture === null) return;
    const text = await tab.shown(picture);
    if (picture !== this.#picture || tab !== this.#chosen) return;
    byId("recipe").textContent = text;
    byId("recipe-note").textContent = typeof tab.note === "function" ? tab.note(picture) : tab.note;
  }

  async #copy() {
    const done = await copyText(await this.#chosen.copied(this.#picture));
    byId("copied").textContent = done ? "Copied." : "The browser did not allow it: select the text and copy it.";
  }
}
