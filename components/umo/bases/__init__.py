"""Customization models that ReReFL tunes."""
