"""Trained models for use without this package."""

from .export import Exported, ServedModel, export_model, load_run, servable

__all__ = ["Exported", "ServedModel", "export_model", "load_run", "servable"]
