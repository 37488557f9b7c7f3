"""Kubeflow pipelines over the steps of `umo`."""
