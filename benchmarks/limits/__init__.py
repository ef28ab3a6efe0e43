"""Simulation of many instances with a virtual clock: the gateway's own limits code, beside other ways."""
