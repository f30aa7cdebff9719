"""Scoring very many images, restartable: `vfnet batch`, on one machine or with Ray on many."""
