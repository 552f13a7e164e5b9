"""Images with boxes: COCO, Pascal VOC and YOLO, read, checked, drawn, varied and batched."""
