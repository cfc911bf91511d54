"""Tables: columns, preprocessing, targets, networks and the training behind the scikit-learn estimators."""
