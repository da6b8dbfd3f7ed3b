# Balanced Meta-Softmax, Table 4: BALMS, Balanced Softmax with class weights that are learned.
_base_ = './mask-rcnn_r50_fpn_8xb2-balanced-softmax-sigmoid-22k_lvis-v0.5.py'
reweighter = dict(type='MetaReweighter', classifier='roi_head.bbox_head.fc_cls', lr=0.01)
custom_hooks = [*_base_.custom_hooks, reweighter]
