/* The bearer key: in this tab's session storage and nowhere else. */

import { byId } from "./elements.js";

const NAME = "vfnet-access-key";
let key = readStored();

/** The headers that open the gateway; none without a key. */
export function authorization() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Whether a key is set. */
export function hasKey() {
  return key !== "";
}

/** Wire the form up. `onKey` is called when there is a new key to try. */
export function setUpKeyForm(onKey) {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = byId("key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(given)) {
      showError(given ? "A key has letters, digits and signs without spaces." : "Type the key first.");
      return;
    }
    store(given);
    byId("key").value = "";
    byId("key-form").hidden = true;
    onKey();
  });
  byId("forget-key").addEventListener("click", () => {
    store("");
    byId("choose").focus();
  });
  store(key);
}

/** Ask for a key: the server refused without one, or refused the one it got. */
export function askForKey() {
  byId("key-form").hidden = false;
  showError(hasKey() ? "The server does not accept this key." : "The server asks for a key.");
}

function showError(text) {
  byId("key-error").textContent = text;
  byId("key").setAttribute("aria-invalid", "true");
}

function store(value) {
  key = value;
  byId("forget-key").hidden = value === "";
  byId("key").removeAttribute("aria-invalid");
  byId("key-error").textContent = "";
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Storage is switched off: the key lives as long as the page.
  }
}

function readStored() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}
