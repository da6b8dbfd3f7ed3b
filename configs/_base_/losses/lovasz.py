loss = dict(_delete_=True, type='LovaszLoss', per_image=False, reduction='none')
