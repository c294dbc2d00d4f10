"""What is done to layouts outside the model: made to fit, painted, spoilt, shown, put into other classes."""
