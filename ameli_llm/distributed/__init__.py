"""Links reviews with workers on Ray, on this machine or on a cluster. ``workplace.on_ray`` is the way in."""
