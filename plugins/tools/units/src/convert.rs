use crate::table::{Kind, Unit, KINDS};

/// The answer as a sentence, or why there is none.
pub fn convert(value: f64, from: &str, to: &str) -> Result<String, String> {
    let source = find(from);
    let target = find(to);
    if source.is_empty() {
        return Err(unknown(from));
    }
    if target.is_empty() {
        return Err(unknown(to));
    }
    // One name may stand for units of two kinds ("c", "oz"); the other unit says which is meant.
    let pair = source.iter().find_map(|(kind, unit)| {
        let same = target.iter().find(|(other, _)| other.name == kind.name)?;
        Some((*kind, *unit, same.1))
    });
    let Some((kind, unit, wanted)) = pair else {
        let [(kind, unit), (other, wanted)] = [source[0], target[0]];
        return Err(format!(
            "{} is a unit of {} and {} one of {}, so one cannot be converted into the other. Units of {}: {}.",
            unit.symbol, kind.name, wanted.symbol, other.name, kind.name, symbols(kind)
        ));
    };
    let base = value * unit.factor + unit.offset;
    if kind.name == "temperature" && base < -1e-9 {
        return Err(format!("{} {} is below absolute zero.", number(value), unit.symbol));
    }
    let result = (base - wanted.offset) / wanted.factor;
    if !result.is_finite() {
        return Err(format!("{} {} is too much to convert.", number(value), unit.symbol));
    }
    Ok(format!("{} {} = {} {}", number(value), unit.symbol, number(result), wanted.symbol))
}

/// Every unit that goes by this name. A spelling that is exactly a symbol means that unit alone.
fn find(name: &str) -> Vec<(&'static Kind, &'static Unit)> {
    let all = || KINDS.iter().flat_map(|kind| kind.units.iter().map(move |unit| (kind, unit)));
    let name = name.trim().trim_end_matches('.');
    let exact: Vec<_> = all().filter(|(_, unit)| unit.symbol == name).collect();
    if !exact.is_empty() {
        return exact;
    }
    let plain = plain(name);
    let goes_by = |unit: &Unit, wanted: &str| {
        unit.names.split('|').any(|known| known == wanted && !known.is_empty()) || unit.symbol.to_lowercase() == wanted
    };
    // As it is, or a plural: "miles", "degrees celsius", "metres per second".
    let last = plain.strip_suffix('s').unwrap_or(&plain).to_string();
    let first = plain.replacen("s ", " ", 1);
    let spellings = [plain, last, first];
    spellings
        .iter()
        .map(|spelling| all().filter(|(_, unit)| goes_by(unit, spelling)).collect::<Vec<_>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// Lower case, one space between words, "^2" and "^3" as digits, "_" as a space.
fn plain(name: &str) -> String {
    let words = name.to_lowercase().replace('_', " ").replace('^', "").replace('μ', "µ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = KINDS.iter().map(|kind| format!("{}: {}", kind.name, symbols(kind))).collect();
    format!("I do not know the unit \"{name}\". I know these, by their long names too:\n{}", known.join("\n"))
}

fn symbols(kind: &Kind) -> String {
    kind.units.iter().map(|unit| unit.symbol).collect::<Vec<_>>().join(", ")
}

/// Ten significant digits: more would show how binary fractions are rounded.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-6..15).contains(&magnitude) {
        let text = format!("{value:.9e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    let decimals = (9 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').into()
}
