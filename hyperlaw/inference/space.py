"""`Space`: a table's arrays, and the coordinates in which the sampler moves over its posterior.

Tasks and levels are members of populations, drawn from Normal(centre, sd) with an unknown sd. A member of which the
data say little lies near the centre where sd is small: a funnel, whose neck asks for shorter steps than its mouth. One
of which they say much stays where the data have it, whatever sd is. In between, in the coordinate

    centre + (member - centre) (usual / sd)^(1 - own)

it is equally wide at every sd near the usual one, to first order, where `own` is the share of what is known of it that
its own data say and not its population: 1 - variance / usual^2 at that sd, all else given. With an `own` of 1 it is
sampled as it is, with 0 in units of sd. (Between centred and non-centred: Papaspiliopoulos, Roberts and Sköld, "A
general framework for the parametrization of hierarchical models", Statistical Science 22, 2007.)

All else given: where the data pin a sum, such as of what a horizon and its cells stray by, none of its members is
known by itself, but each is given the others. Stretched by sds of their own they would bend that sum, so they stay as
they are.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hyperlaw.models.likelihoods.base import Design

Sites = dict[str, Any]


class Space(NamedTuple):
    """What the density of a place depends on beside the place: a pytree.

    `own` and `usual` hold, by site of members, the share of each that is its own and the log of the usual standard
    deviation of their population.
    """

    design: Design
    own: Sites
    usual: Sites

    def log_stretch(self, sites: Sites, members: Mapping[str, str]) -> Sites:
        """Log of what distances of members from their centre are to those of their coordinates, by site.

        `members` holds the site of the standard deviation by site of members. Sites are unconstrained: that of a
        standard deviation is its log.
        """
        return {name: (1 - own) * (sites[members[name]] - self.usual[name]) for name, own in self.own.items()}


def seen(design: Design, sites: Sites, variances: Sites, members: Mapping[str, str]) -> Space:
    """The space in which each member has the coordinate for its variance; with zero it is sampled as it is.

    Parameters
    ----------
    design
        A table's arrays.
    sites
        Unconstrained sites, with the usual standard deviations.
    variances
        Of every member, all else given, by site.
    members
        The site of the standard deviation, by site of members.
    """
    usual = {name: np.asarray(sites[sd]) for name, sd in members.items() if {name, sd} <= sites.keys()}
    own = {name: np.clip(1 - np.asarray(variances[name]) / np.exp(2 * log), 0.0, 1.0) for name, log in usual.items()}
    return Space(design, own, usual)
