"""Import this before torchvision. PyPI's torchvision brings operators compiled for CUDA, which a torch for CPUs cannot
load; it refuses to be imported without their names. No test uses the operators themselves."""

import torch

_BOXES = "Tensor input, Tensor rois, float scale, SymInt height, SymInt width"
_library = torch.library.Library("torchvision", "FRAGMENT")
for name, arguments, returns in (
    ("nms", "Tensor dets, Tensor scores, float iou_threshold", "Tensor"),
    ("qnms", "Tensor dets, Tensor scores, float iou_threshold", "Tensor"),
    ("roi_align", f"{_BOXES}, int ratio, bool aligned", "Tensor"),
    ("roi_pool", _BOXES, "(Tensor, Tensor)"),
    ("ps_roi_align", f"{_BOXES}, int ratio", "(Tensor, Tensor)"),
    ("ps_roi_pool", _BOXES, "(Tensor, Tensor)"),
    ("deform_conv2d", "Tensor input", "Tensor"),
):
    try:
        _library.define(f"{name}({arguments}) -> {returns}")
    except RuntimeError:  # a torchvision that fits has defined it
        break
