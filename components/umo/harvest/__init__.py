"""Harvest: training samples out of folders of photos and videos of real people."""
