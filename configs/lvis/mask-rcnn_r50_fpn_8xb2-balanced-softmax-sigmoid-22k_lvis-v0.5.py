# Balanced Meta-Softmax, Table 4: Balanced Softmax with a dagger, for the classifier alone on the
# frozen features of the sigmoid.
_base_ = './mask-rcnn_r50_fpn_8xb2-balanced-softmax-22k_lvis-v0.5.py'
model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(base='sigmoid'))))
load_from = 'work_dirs/mask-rcnn_r50_fpn_8xb2-sigmoid-90k_lvis-v0.5/iter_90000.pth'
