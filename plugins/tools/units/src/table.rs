//! The units. Each factor says how many of its kind's first unit one of it is.

pub struct Unit {
    /// How it is written in an answer.
    pub symbol: &'static str,
    /// Every name it goes by, in lower case and without a plural's "s".
    pub names: &'static str,
    pub factor: f64,
    /// Added after multiplying: only temperatures begin elsewhere than at zero.
    pub offset: f64,
}

pub struct Kind {
    pub name: &'static str,
    pub units: &'static [Unit],
}

const fn unit(symbol: &'static str, names: &'static str, factor: f64) -> Unit {
    Unit { symbol, names, factor, offset: 0.0 }
}

pub const KINDS: &[Kind] = &[
    Kind {
        name: "length",
        units: &[
            unit("m", "metre|meter", 1.0),
            unit("km", "kilometre|kilometer", 1e3),
            unit("dm", "decimetre|decimeter", 0.1),
            unit("cm", "centimetre|centimeter", 0.01),
            unit("mm", "millimetre|millimeter", 1e-3),
            unit("µm", "um|micrometre|micrometer|micron", 1e-6),
            unit("nm", "nanometre|nanometer", 1e-9),
            unit("in", "inch|inche|\"|″", 0.0254),
            unit("ft", "foot|feet|'|′", 0.3048),
            unit("yd", "yard", 0.9144),
            unit("mi", "mile", 1609.344),
            unit("nmi", "nautical mile|sea mile", 1852.0),
            unit("au", "astronomical unit", 149_597_870_700.0),
            unit("ly", "light year|lightyear|light-year", 9_460_730_472_580_800.0),
        ],
    },
    Kind {
        name: "mass",
        units: &[
            unit("kg", "kilogram|kilogramme|kilo", 1.0),
            unit("g", "gram|gramme|gr", 1e-3),
            unit("mg", "milligram|milligramme", 1e-6),
            unit("µg", "ug|mcg|microgram|microgramme", 1e-9),
            unit("t", "tonne|metric ton", 1e3),
            unit("lb", "pound|lbs", 0.453_592_37),
            unit("oz", "ounce", 0.028_349_523_125),
            unit("st", "stone", 6.350_293_18),
            unit("ct", "carat|karat", 2e-4),
            unit("short ton", "us ton|ton", 907.184_74),
            unit("long ton", "imperial ton|uk ton", 1_016.046_908_8),
        ],
    },
    Kind {
        name: "volume",
        units: &[
            unit("l", "litre|liter|dm³|dm3|cubic decimetre|cubic decimeter", 1.0),
            unit("ml", "millilitre|milliliter|cm³|cm3|cc|cubic centimetre|cubic centimeter", 1e-3),
            unit("cl", "centilitre|centiliter", 0.01),
            unit("dl", "decilitre|deciliter", 0.1),
            unit("hl", "hectolitre|hectoliter", 100.0),
            unit("m³", "m3|cubic metre|cubic meter", 1e3),
            unit("in³", "in3|cubic inch|cubic inche|cu in", 0.016_387_064),
            unit("ft³", "ft3|cubic foot|cubic feet|cu ft", 28.316_846_592),
            unit("tsp", "teaspoon", 0.004_928_921_593_75),
            unit("tbsp", "tablespoon", 0.014_786_764_781_25),
            unit("fl oz", "floz|fluid ounce|us fl oz", 0.029_573_529_562_5),
            unit("cup", "us cup", 0.236_588_236_5),
            unit("pt", "pint|us pint", 0.473_176_473),
            unit("qt", "quart|us quart", 0.946_352_946),
            unit("gal", "gallon|us gallon|us gal", 3.785_411_784),
            unit("imp pt", "imperial pint|uk pint", 0.568_261_25),
            unit("imp gal", "imperial gallon|uk gallon", 4.546_09),
            unit("bbl", "barrel|oil barrel", 158.987_294_928),
        ],
    },
    Kind {
        name: "temperature",
        units: &[
            unit("K", "kelvin", 1.0),
            Unit { symbol: "°C", names: "c|celsius|centigrade|degree celsius|deg c|degc|℃", factor: 1.0, offset: 273.15 },
            Unit {
                symbol: "°F",
                names: "f|fahrenheit|degree fahrenheit|deg f|degf|℉",
                factor: 5.0 / 9.0,
                offset: 273.15 - 32.0 * 5.0 / 9.0,
            },
            unit("°R", "rankine|degree rankine", 5.0 / 9.0),
        ],
    },
    Kind {
        name: "speed",
        units: &[
            unit("m/s", "mps|metre per second|meter per second|metres per second|meters per second", 1.0),
            unit("km/h", "kmh|kph|kilometre per hour|kilometer per hour|kilometres per hour|kilometers per hour", 1.0 / 3.6),
            unit("mph", "mi/h|mile per hour|miles per hour", 0.447_04),
            unit("ft/s", "fps|foot per second|feet per second", 0.3048),
            unit("kn", "kt|kts|knot", 1852.0 / 3600.0),
            unit("c₀", "speed of light|light speed", 299_792_458.0),
        ],
    },
    Kind {
        name: "data",
        units: &[
            unit("B", "byte", 1.0),
            unit("bit", "b|bits", 0.125),
            unit("kB", "kb|kilobyte", 1e3),
            unit("MB", "mb|megabyte", 1e6),
            unit("GB", "gb|gigabyte|gig", 1e9),
            unit("TB", "tb|terabyte", 1e12),
            unit("PB", "pb|petabyte", 1e15),
            unit("KiB", "kibibyte", 1024.0),
            unit("MiB", "mebibyte", 1_048_576.0),
            unit("GiB", "gibibyte", 1_073_741_824.0),
            unit("TiB", "tebibyte", 1_099_511_627_776.0),
            unit("PiB", "pebibyte", 1_125_899_906_842_624.0),
            unit("kbit", "kilobit", 125.0),
            unit("Mbit", "megabit", 125e3),
            unit("Gbit", "gigabit", 125e6),
        ],
    },
    Kind {
        name: "area",
        units: &[
            unit("m²", "m2|sqm|square metre|square meter|sq m", 1.0),
            unit("km²", "km2|square kilometre|square kilometer|sq km", 1e6),
            unit("cm²", "cm2|square centimetre|square centimeter|sq cm", 1e-4),
            unit("mm²", "mm2|square millimetre|square millimeter", 1e-6),
            unit("ha", "hectare", 1e4),
            unit("a", "are", 100.0),
            unit("in²", "in2|square inch|square inche|sq in", 6.4516e-4),
            unit("ft²", "ft2|sqft|square foot|square feet|sq ft", 0.092_903_04),
            unit("yd²", "yd2|square yard|sq yd", 0.836_127_36),
            unit("ac", "acre", 4_046.856_422_4),
            unit("mi²", "mi2|square mile|sq mi", 2_589_988.110_336),
        ],
    },
    Kind {
        name: "pressure",
        units: &[
            unit("Pa", "pascal", 1.0),
            unit("hPa", "hectopascal", 100.0),
            unit("kPa", "kilopascal", 1e3),
            unit("MPa", "megapascal", 1e6),
            unit("bar", "", 1e5),
            unit("mbar", "millibar", 100.0),
            unit("atm", "atmosphere", 101_325.0),
            unit("psi", "pound per square inch|pounds per square inch|lbf/in²|lbf/in2", 6_894.757_293_168_361),
            unit("mmHg", "millimetre of mercury|millimeter of mercury", 133.322_387_415),
            unit("inHg", "inch of mercury", 3_386.388_640_341),
            unit("Torr", "", 101_325.0 / 760.0),
        ],
    },
    Kind {
        name: "energy",
        units: &[
            unit("J", "joule", 1.0),
            unit("kJ", "kilojoule", 1e3),
            unit("MJ", "megajoule", 1e6),
            unit("cal", "calorie", 4.184),
            unit("kcal", "kilocalorie|food calorie|large calorie", 4_184.0),
            unit("Wh", "watt hour|watt-hour", 3_600.0),
            unit("kWh", "kilowatt hour|kilowatt-hour", 3.6e6),
            unit("MWh", "megawatt hour|megawatt-hour", 3.6e9),
            unit("BTU", "british thermal unit", 1_055.055_852_62),
            unit("eV", "electronvolt|electron volt", 1.602_176_634e-19),
            unit("ft⋅lbf", "ft lbf|foot-pound|foot pound|ft-lb", 1.355_817_948_331_400_4),
        ],
    },
];
