"""Detection: pyramids, heads, anchors, boxes, losses and suppression, as layers and tensors."""
