"""Reproduces the findings of the paper: trains networks, measures them, and writes pages with plots, tables and checks.

| module | provides |
|---|---|
| `findings` | the table of findings by name |
| `costs_of_networks` | "complexity": what the networks cost (tables 1 and 6) |
| `degradation` | deeper plain networks train worse (figures 1, 4, 6) |
| `gradients`, `signal_propagation` | vanishing and exploding signals: the page; its measurements and plots |
| `batchnorm` | batch normalization: statistics, drift, higher learning rates |
| `responses_by_depth` | "responses": how strongly layers respond (figure 7) |
| `shortcuts` | options A, B and C (table 3) |
| `highway` | highway, residual and plain networks |
| `bottleneck` | bottleneck and basic blocks at equal cost; 1202 layers |
| `detection`, `detectors_of_scenes` | trunks, C4 and FPN, improvements in testing (tables 7 to 9): the page; its runs |
| `localization` | boxes of the true and of predicted classes, dense testing, R-CNN (appendix C) |
| `experiment` | recipe, runs and measurements, with their files |
| `runner`, `worker` | worker processes for runs and measurements |
| `report_page`, `plots` | the page of a finding, its claims, the style of its plots |

`keras-resnet reproduce NAME` runs a finding. The published values are in `keras_resnet.paper_results`.
"""
