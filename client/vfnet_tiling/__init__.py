"""Tiles of an image, for objects that are small in it: where they lie, how they are cut, how what is found is merged.

The one implementation for client, gateway, batch, evaluation and training. It imports nothing of this project. `Tiling`
is what a person chooses, `tiles_of` where the tiles of one image lie, `merged` makes one answer of those to the tiles.

Grid, overlap and merging are those of AutoML for images in Azure Machine Learning (`tiling_utils.get_tiles` and
`tiling_helper.get_duplicate_box_indices` of azureml-automl-dnn-vision and of azureml-acft-image-components after it;
https://learn.microsoft.com/azure/machine-learning/how-to-use-automl-small-object-detect). Tiles of a size are those of
SAHI (https://github.com/obss/sahi, `sahi.slicing.get_slice_bboxes`).
"""
