"""Convolutions for CPUs in C, and their place in an OpenVINO network."""
