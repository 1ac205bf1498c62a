"""Currencies and units that are understood without being declared.

Other letters beside a number may belong to a code, as in P1 or 38A. An example such as ``number:1234.5 pcs`` declares
any unit.
"""

__all__ = ["CURRENCIES", "UNITS"]

_SIGNS = "$ € £ ¥ ₹ ₩ ₽ ₺ ₫ ₪ ฿ US$ A$ C$ R$ kr Kr zł Kč Ft Rs Rs. Fr."
_CODES = """
CHF EUR USD GBP JPY CNY INR AUD CAD NZD SEK NOK DKK PLN CZK HUF RUB TRY BRL MXN ZAR KRW SGD HKD ILS THB
"""
CURRENCIES = frozenset(_SIGNS.split() + _CODES.split())
"""Signs and codes of currencies, before or after a number."""

_UNITS = """
% ‰ ° °C °F kg g mg t lb lbs oz km cm mm µm nm mi ft yd km/h kmh mph m/s s ms µs us ns sec min h hr hrs W kW MW kWh MWh
Wh V mV mA Hz kHz MHz GHz Pa hPa kPa bar mbar psi l ml L mL dB KB MB GB TB kB KiB MiB GiB bytes rpm ppm pp bps m² m2 km²
m³ m3 px pt
"""
UNITS = frozenset(_UNITS.split())
"""Units after a number. Letters that are often part of a code, such as A or m, are not among them."""
