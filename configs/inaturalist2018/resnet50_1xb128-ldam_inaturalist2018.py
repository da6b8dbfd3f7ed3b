_base_ = './resnet50_1xb128-ce_inaturalist2018.py'
# LDAM's logits are cosines: MMPretrain's normalised classifier, without its own scale and margin.
model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=8142,
        in_channels=2048,
        scale=1.0,
        margins=0.0,
        # LDAM's author: 0.5 is too large here (LDAM-DRW, issue 2).
        loss=dict(type='LDAMLoss', class_counts='auto', max_margin=0.3),
    )
)
