from hyperlaw.demo import demo


def test_demo(tmp_path, capsys):
    choice = demo(tmp_path, seed=0)
    said = " ".join(capsys.readouterr().out.split())
    assert "Large runs, withheld" in said
    assert "predicts a left-out run better than" in said
    assert f"set learning_rate = {choice.setting['learning_rate']:.3g}" in said
    assert "nan" not in said.lower()
    assert (tmp_path / "demo.png").stat().st_size > 10_000
    assert (tmp_path / "demo.nc").exists()
