"""Foreseeing what every change of a plan will come to, without writing anything."""

from __future__ import annotations

from recovery_nb.restore.forecast.simulate import Forecast, Transaction

__all__ = ["Forecast", "Transaction"]
