// Made by torch_vectors.py with torch 2.15.0, in f64.
const TORCH: &[(&str, usize, [f64; 3])] = &[
    ("update = \"sgd\"\nlearning_rate = 0.1", 5, [0.59049, -1.547561875, 0.03888]),
    (
        "update = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9\nweight_decay = 0.05",
        7,
        [-0.470017858271, -0.0329151852997, 0.0662370698848],
    ),
    (
        "update = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9\nnesterov = true",
        7,
        [-0.351140282074, -0.0549432427172, 0.0450426457843],
    ),
    ("update = \"adam\"\nlearning_rate = 0.05", 9, [0.558866458054, -1.5536188388, 0.0767922800352]),
    (
        "update = \"adam\"\nlearning_rate = 0.05\nbeta1 = 0.8\nbeta2 = 0.9\neps = 0.001\nweight_decay = 0.1",
        9,
        [0.559932415718, -1.55422969511, 0.0800431215678],
    ),
    (
        "update = \"adamw\"\nlearning_rate = 0.05\nweight_decay = 0.1",
        9,
        [0.524686375992, -1.475087784, 0.0652994476935],
    ),
];
