/* Why the picture looked at has no detections, and what can be done. */

import { byId } from "./elements.js";
import { count } from "./wording.js";

/** Shows #problem. `again` sends a picture again, `say` speaks to screen readers. */
export class Problem {
  #picture = null;
  #timer = null;

  constructor(again, say) {
    this.say = say;
    byId("retry").addEventListener("click", () => {
      if (this.#picture?.failure && this.#picture.failure.secondsLeft() === 0) again(this.#picture);
    });
  }

  /** Show a failed picture's problem; null hides it. */
  show(picture) {
    clearInterval(this.#timer);
    this.#picture = picture;
    byId("problem").hidden = picture === null;
    if (picture === null) return;
    const { title, reason, advice, retryable } = picture.failure;
    byId("problem-title").textContent = title;
    byId("problem-reason").textContent = reason;
    byId("problem-advice").textContent = advice;
    byId("retry").hidden = !retryable;
    if (!retryable) return;
    this.#count(false);
    if (picture.failure.secondsLeft() > 0) this.#timer = setInterval(() => this.#count(true), 250);
  }

  #count(wasWaiting) {
    const left = this.#picture.failure.secondsLeft();
    byId("retry").setAttribute("aria-disabled", String(left > 0)); // still in the way of the Tab key
    byId("retry").textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0 || !wasWaiting) return;
    clearInterval(this.#timer);
    this.say(`${this.#picture.name} can be sent again.`);
  }
}

/** What to say when a picture has failed. */
export function spoken({ name, failure }) {
  const left = failure.secondsLeft();
  return `${name}: ${failure.title}. ${failure.reason}${left > 0 ? ` Try again in ${count(left, "second")}.` : ""}`;
}
