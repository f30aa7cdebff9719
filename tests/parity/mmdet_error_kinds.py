"""Runs inside the real mmdet: ANNOTATIONS RESULTS -> the areas of its error analysis by class and size, as JSON."""

import importlib.util
import json
import sys
import tempfile
import warnings
from multiprocessing.pool import ThreadPool
from pathlib import Path

warnings.filterwarnings("ignore")

import mmdet  # noqa: E402


def main(annotations: str, results: str) -> None:
    """The tool draws them only: its drawing is replaced by taking note."""
    path = Path(mmdet.__file__).parent / ".mim" / "tools" / "analysis_tools" / "coco_error_analysis.py"
    spec = importlib.util.spec_from_file_location("coco_error_analysis", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    areas = {}

    def take_note(_recalls, precision, _folder, name, _kind):
        areas[name] = precision[..., 0].reshape(len(precision), -1, 4).mean(axis=1).tolist()

    tool.makeplot, tool.Pool = take_note, ThreadPool
    with tempfile.TemporaryDirectory() as folder:
        tool.analyze_results(results, annotations, ["bbox"], folder, areas=[1024, 9216, 10000000000])
    print(json.dumps(areas))


if __name__ == "__main__":
    main(*sys.argv[1:])
