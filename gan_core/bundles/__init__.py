"""Bundles: a folder with a trained generator, its figures and what they stand on, for a stranger to check.

A bundle holds a small artefact store and its configurations, so that what reads a store reads a bundle.
"""
