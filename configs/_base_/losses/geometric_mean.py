loss = dict(_delete_=True, type='GeometricMeanLoss', class_counts='auto')
