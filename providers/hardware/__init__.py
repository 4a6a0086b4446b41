"""Machines: their embodied carbon, and what a vCPU of them draws.

``ccf`` knows cloud instance types and servers by parts from vendored coefficients;
``processors`` the microarchitecture behind an instance type; ``boavizta`` asks a server that the
user runs.
"""
