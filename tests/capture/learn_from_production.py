"""The walk of docs/learning-from-production.md, done again: `python tests/capture/learn_from_production.py OUTPUT`.

A first model is trained on 16 photos of odFridgeObjects (../shared/data). It is served, and answers 64 others. The
gateway captures them. They are reviewed as their annotations say: most by the page's own requests, a few in chromium. A
model is trained on them, compared on the 48 photos that neither has seen, and deployed by a trial on live traffic.
Called again, it goes on where it stopped: trainings are not done twice.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT)]

from demonstration.initial_checkpoint import write_initial_checkpoint
from playwright.sync_api import sync_playwright

from browser_page import CHROMIUM, CHROMIUM_OPTIONS
from reviewers import KEY, Reviewer
from vfnet_client.free_ports import free_ports

SHARED = ROOT.parent / "shared"
PHOTOS = SHARED / "data" / "odFridgeObjects"
PRODUCTION, FIRST = 64, 16
SCALE = (416, 320)
FIRST_EPOCHS, EPOCHS = 30, 10
CORNERS = ("topX", "topY", "bottomX", "bottomY")
TRAINING = (
    *("--batch-size", "4", "--learning-rate", "5e-4", "--weight-decay", "0.05", "--schedule", "warmup_cosine"),
    *("--warmup-steps", "20", "--frozen-stages", "1", "--photometric-distortion", "--precision", "bf16", "--seed", "0"),
    *("--test-scale", "416x320", "--scale", "416x320", "--threads", "1", "--workers", "0", "--device", "cpu"),
)


class Walk:
    """One folder of results; `minutes` by step."""

    def __init__(self, output: Path, slot: list[str]) -> None:
        self.output, self.slot = output, slot
        self.minutes: dict[str, float] = {}
        self.told: dict[str, Any] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        yield
        self.minutes[name] = round((time.monotonic() - began) / 60, 2)
        print(f"   {self.minutes[name]} minutes", flush=True)

    def keep(self, name: str, found: Any) -> None:
        """What was done, where something was, for a later call of this to tell."""
        path = self.output / "done.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        if found:
            path.write_text(json.dumps(kept | {name: found}))
        self.told[name] = found or kept.get(name)

    def vfnet(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        print("vfnet", *words, flush=True)
        before = self.slot if words[0] in ("finetune", "evaluate") else []
        command = [*before, sys.executable, "-m", "vfnet_client", *words]
        subprocess.run(command, check=True, env=os.environ | (environment or {}))

    def split(self) -> None:
        lines = [
            line
            for part in ("training", "validation")
            for line in (PHOTOS / "automl_jsonl" / f"{part}.jsonl").read_text().splitlines()
        ]
        order = random.Random(0).sample(range(len(lines)), len(lines))
        ends = (0, PRODUCTION, PRODUCTION + FIRST, len(lines))
        for name, begin, end in zip(("production", "first", "heldout"), ends, ends[1:], strict=False):
            chosen = "".join(f"{lines[index]}\n" for index in sorted(order[begin:end]))
            (self.output / f"{name}.jsonl").write_text(chosen)

    def train(self, name: str, init: Path, epochs: int, *data: tuple[Path, Path]) -> Path:
        run = self.output / name
        sources, images = zip(*data, strict=True)
        if not (run / "report.md").exists():
            self.vfnet(
                "finetune", "--data", *map(str, sources), "--images", *map(str, images), "--init", str(init),
                "--output", str(run), "--epochs", str(epochs), "--ema-decay", "0.98", *TRAINING,
            )  # fmt: skip
        return run / "last.pth"

    def evaluate(self, checkpoint: Path) -> dict[str, float]:
        figures = self.output / f"{checkpoint.parent.name}.figures.json"
        if not figures.exists():
            self.vfnet("evaluate", "--annotations", str(self.output / "heldout.jsonl"), "--images", str(PHOTOS),
                       "--checkpoint", str(checkpoint), "--device", "cpu", "--json", str(figures))  # fmt: skip
        found: dict[str, Any] = json.loads(figures.read_text())
        return found

    def truth(self) -> dict[str, list[dict[str, Any]]]:
        lines = (self.output / "production.jsonl").read_text().splitlines()
        return {entry["image_url"]: entry["label"] for entry in map(json.loads, lines)}


def send(address: str, names: list[str]) -> None:
    """As production would: a request with an id for each photo."""
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        for name in names:
            image = base64.b64encode((PHOTOS / name).read_bytes()).decode()
            body = {"input_data": {"columns": ["image"], "data": [image]}}
            client.post("/score", json=body, headers={"x-request-id": name}).raise_for_status()


def review_by_requests(address: str, truth: Mapping[str, list[dict[str, Any]]], leave: int) -> Counter[str]:
    """Save what the annotations say, by the page's own requests; so many are left for the browser."""
    counts: Counter[str] = Counter()
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=address, timeout=60, trust_env=False, headers=headers) as client:
        listed = client.get("/review/images").raise_for_status().json()["images"]
        for entry in listed[leave:]:
            reply = client.get(f"/review/images/{entry['id']}").raise_for_status()
            record = reply.json()
            wanted = truth[record["capture"]["request"]]
            labels, work = corrected(record["label"], wanted)
            counts += work
            body = {"label": labels, "state": "accepted", "by": "the annotations"}
            saved = client.put(f"/review/images/{entry['id']}", json=body, headers={"if-match": reply.headers["etag"]})
            saved.raise_for_status()
            counts["images"] += 1
    return counts


def corrected(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The labels that there should be, and what a person would have to do: boxes that fit well enough are kept."""
    left, labels, work = list(found), [], Counter[str]()
    for box in wanted:
        best = max(left, key=lambda each: overlap(each, box), default=None)
        fits = 0.0 if best is None else overlap(best, box)
        if best is not None and fits >= 0.3:
            left.remove(best)
        if best is not None and fits >= 0.85 and best["label"] == box["label"]:
            labels.append(best)
            work["boxes right"] += 1
            continue
        labels.append(box)
        work["boxes corrected" if fits >= 0.3 else "boxes drawn"] += 1
    work["boxes removed"] += len(left)
    return labels, work


def overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    x1, y1, x2, y2 = (one[corner] for corner in CORNERS)
    a1, b1, a2, b2 = (other[corner] for corner in CORNERS)
    both = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
    return both / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - both)


def review_in_browser(address: str, truth: Mapping[str, list[dict[str, Any]]], screenshot: Path) -> int:
    """What is left, by mouse and keyboard: all boxes are removed and drawn."""
    done = 0
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=address, trust_env=False, headers=headers) as client:
        if not client.get("/review/images").raise_for_status().json()["images"]:
            return done
    with sync_playwright() as playwright, httpx.Client(base_url=address, trust_env=False) as client:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
        page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        person = Reviewer.__new__(Reviewer)
        person.page = page
        page.goto(f"{address}/review/", wait_until="networkidle")
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        page.locator("#boxes .shape").first.wait_for()
        page.fill("#reviewer", "by mouse")
        page.screenshot(path=screenshot)
        while listed := client.get("/review/images", headers=headers).json()["images"]:
            (entry, *_) = (each for each in listed if f"Image {each['id'][-8:]}" == page.inner_text("#stage-title"))
            record = client.get(f"/review/images/{entry['id']}", headers=headers).json()
            for _ in record["label"]:
                page.locator("#frame").focus()
                page.keyboard.press(".")
                page.keyboard.press("Delete")
            for box in truth[record["capture"]["request"]]:
                page.fill("#new-label", box["label"])
                page.locator("#new-label").blur()
                page.keyboard.press("Escape")
                person.drag((box["topX"], box["topY"]), (box["bottomX"], box["bottomY"]))
            person.saved()
            page.locator("#frame").focus()
            page.keyboard.press("Enter")
            page.wait_for_function("id => !document.querySelector(`[data-id='${id}']`)", arg=entry["id"])
            time.sleep(0.5)
            done += 1
        browser.close()
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--browser", type=int, default=4, help="images that are reviewed in chromium")
    parser.add_argument("--slot", nargs="*", default=[], help="a command before each training and evaluation")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    walk = Walk(arguments.output.absolute(), arguments.slot)
    walk.split()
    initial = walk.output / "initial.pth"
    if not initial.exists():
        write_initial_checkpoint(SHARED / "weights" / "thin_resnet50_backbone.npz", initial, SCALE)
    with walk.step("train the first model"):
        first = walk.train("first", initial, FIRST_EPOCHS, (walk.output / "first.jsonl", PHOTOS))
    with walk.step("evaluate it"):
        walk.told["before"] = walk.evaluate(first)
    state, store = walk.output / "state", walk.output / "captured"
    ports = free_ports(5)
    names = ("http-port", "grpc-port", "metrics-port", "score-port", "score-grpc-port")
    address = f"http://127.0.0.1:{ports[3]}"
    capture = {"VFNET_GATEWAY_CAPTURE": str(store), "VFNET_GATEWAY_CAPTURE_SHARE": "100", "VFNET_REVIEW_KEYS": KEY}
    truth = walk.truth()
    try:
        with walk.step("serve it"):
            walk.vfnet(
                "up",
                f"--state={state}",
                "--checkpoint",
                str(first),
                *(f"--{name}={port}" for name, port in zip(names, ports, strict=True)),
                environment=capture,
            )
        with walk.step("production"):
            if not (store / "reviewed.jsonl").exists() or not (store / "reviewed.jsonl").read_text():
                send(address, list(truth))
                time.sleep(6)
        with walk.step("review by requests"):
            walk.keep("review", dict(review_by_requests(address, truth, arguments.browser)))
        with walk.step("review in chromium"):
            walk.keep("in chromium", review_in_browser(address, truth, walk.output / "review.png"))
        time.sleep(6)
        walk.vfnet("captured", "count", str(store))
        learnt = walk.output / "learnt"
        if not learnt.exists():
            walk.vfnet("captured", "export", str(store), "--output", str(learnt))
        with walk.step("train on what was reviewed"):
            data = ((walk.output / "first.jsonl", PHOTOS), (learnt / "reviewed.jsonl", learnt))
            second = walk.train("second", first, EPOCHS, *data)
        with walk.step("evaluate that"):
            walk.told["after"] = walk.evaluate(second)
        with walk.step("deploy it by a trial"):
            over = threading.Event()

            def traffic() -> None:
                while not over.is_set():
                    send(address, random.sample(list(truth), 8))

            callers = [threading.Thread(target=traffic) for _ in range(2)]
            for caller in callers:
                caller.start()
            try:
                walk.vfnet("deploy", f"--state={state}", "--checkpoint", str(second), "--canary", "30", "--promote",
                           "--for", "30s", "--min-images", "20", "--min-compared", "5", "--annotations",
                           str(walk.output / "heldout.jsonl"), "--annotated-images", str(PHOTOS))  # fmt: skip
            finally:
                over.set()
                for caller in callers:
                    caller.join()
    finally:
        walk.vfnet("down", f"--state={state}")
    walk.told["minutes"] = walk.minutes
    for name in ("before", "after"):
        walk.told[name] = {key: value for key, value in walk.told[name].items() if not isinstance(value, dict | list)}
    print(json.dumps(walk.told, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
