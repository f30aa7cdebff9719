"""What is served, as one package: from an encoded image to its boxes.

`vfnet build` copies it into the version folder of every Python model, whose `model.py` imports it from there; tests,
training, evaluation and benchmarks use the same code from here. It imports nothing else of this project.

In: an encoded image. `vfnet_images` makes RGB pixels of it, `resizing` puts them on a canvas, `engines` run the
network (`architecture`) on it, `candidates` picks boxes, `answers` suppresses and writes them. Out: JSON, or arrays.
`triton_models` holds the same steps as Triton calls them, with `admission` in front. Start reading there.

    pixels = decode_image(Path("photo.jpg").read_bytes())
    resized = resize_onto_canvas(pixels, img_scale=(1333, 800), size_divisor=32)
    logits_and_boxes = OpenVINOEngine(network_xml).compute(resized.pixels, resized.valid_shape)

"""

from vfnet_runtime import no_telemetry  # noqa: F401 - before any of its modules imports OpenVINO
