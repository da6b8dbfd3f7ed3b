# Class-balanced loss, Sec. 5.4.
loss = dict(
    _delete_=True,
    type='ClassBalancedLoss',
    class_counts='auto',
    beta=0.999,
    base='focal',
    gamma=0.5,
)
