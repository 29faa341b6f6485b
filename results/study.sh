#!/bin/sh
# Every run and every report of this study, from the project's folder: `sh results/study.sh DATA`, DATA being the folder of
# Fashion-MNIST's four files. What has a result is not trained again, so the same command resumes after a stop.
set -e
data="data.root=${1:?the folder of the four files of Fashion-MNIST}"

for question in depth shortcuts norm block_depth blocks placement precision; do
    python -m ablate sweep "sweeps/$question.yaml" "$data"
done
# Times compare where nothing else runs: one cell at a time.
python -m ablate sweep sweeps/cost.yaml "$data" hydra.launcher.workers=1

# The default recipe: of a ResNet-20 with norm and without, and of a ResNet-34.
python -m ablate sweep sweeps/recipe.yaml
for recipe in "sgd optimizer.lr=0.05" "adamw optimizer.lr=0.001" "adamw optimizer.lr=0.003"; do
    python -m ablate sweep sweeps/recipe.yaml model=resnet34 norm=batch optimizer=$recipe
done

report() {
    name=$1
    shift
    python -m ablate report "$@" "$data" --out "results/$name"
}
report depth sweeps/depth.yaml --metric train/loss
report depth_residual sweeps/depth.yaml --baseline shortcut=zero_pad
report norm_slow sweeps/norm.yaml --baseline optimizer.lr=0.005
for question in shortcuts norm block_depth blocks placement precision; do
    report "$question" "sweeps/$question.yaml"
done
report cost sweeps/cost.yaml --metric cost/seconds
python -m ablate report sweeps/recipe.yaml --out results/recipe
python -m ablate report runs model=resnet34 --out results/recipe_resnet34
python -m ablate claims results/claims.yaml
