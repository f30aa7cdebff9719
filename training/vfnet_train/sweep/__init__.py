"""Trainings that differ in some settings, run by Ray Tune, compared by COCO's figures.

In: `FinetuneSettings` and `SweepSettings`. Out: a folder with a table, a plot and the best checkpoint; each trial is a
run folder of `vfnet finetune`. What is decided stands in files of that folder, and nothing in Ray's: killed at any
moment, a sweep goes on from there. Start reading in `sweeping`.
"""
