"""What a model of science imports, in the words that its authors use; at first use many of these load other parts."""

import scipy
import sklearn
import sklearn.ensemble
import sklearn.preprocessing
from numpy import *  # noqa: F403
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import check_estimator  # noqa: F401  (reads the package's own tests)

FIGURES = {
    "gamma": float(scipy.special.gamma(5)),
    "peaks": scipy.signal.find_peaks([0, 1, 0, 2, 0])[0].tolist(),
    "labels": sklearn.preprocessing.LabelEncoder().fit_transform(["b", "a"]).tolist(),
    "rows": len(load_iris().data),
    "f2py": f2py.__name__,  # noqa: F405
}
