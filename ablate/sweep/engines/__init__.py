"""The engines that train the cells of a sweep: a pool of processes, Slurm, or any of Hydra's launchers."""
