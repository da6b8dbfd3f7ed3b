# Balanced Meta-Softmax, Table 4: LDAM.
_base_ = ['./mask-rcnn_r50_fpn_8xb2-softmax-90k_lvis-v0.5.py', '../_base_/losses/ldam.py']
model = dict(
    roi_head=dict(
        bbox_head=dict(
            # LDAM's logits are cosines: MMDetection's normalised classifier without its own scale.
            cls_predictor_cfg=dict(type='NormedLinear', tempearture=1.0, bias=False),
            loss_cls={{_base_.loss}},
        )
    )
)
