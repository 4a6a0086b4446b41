"""Decides and records: queue, planner, engine, settlement, reports, command line."""
