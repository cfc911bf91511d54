"""Tables: columns, preprocessing, targets, networks and the fit behind the scikit-learn estimators."""
