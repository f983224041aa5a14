"""The members of the crowd: name -> class. Adding one is one file and one row; the contract suite runs over all."""

from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.boosted import Boosted
from crowdrun.predictor.learners.forest import Forest
from crowdrun.predictor.learners.linear import Linear
from crowdrun.predictor.learners.neighbours import Neighbours
from crowdrun.predictor.learners.network import Network
from crowdrun.predictor.learners.own_range import OwnRange
from crowdrun.predictor.learners.recent import Recent

LEARNERS: dict[str, type[Learner]] = {
    learner.name: learner for learner in (Recent, OwnRange, Neighbours, Linear, Forest, Boosted, Network)
}
