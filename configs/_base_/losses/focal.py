loss = dict(_delete_=True, type='SoftmaxFocalLoss', gamma=1.0)
