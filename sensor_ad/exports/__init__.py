"""Exports of a plant: files in, readings in UTC out, with an account of every row."""

from sensor_ad.exports.imports import ImportedExport, Imports
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.stream import Export, open_export

__all__ = ["Export", "ImportedExport", "Imports", "ReadSettings", "open_export"]
