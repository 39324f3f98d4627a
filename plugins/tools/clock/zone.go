package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cities that give no zone its name, and words people use for zones.
var nicknames = map[string]string{
	"utc": "UTC", "gmt": "UTC", "z": "UTC", "zulu": "UTC", "": "UTC",
	"cet": "Europe/Paris", "cest": "Europe/Paris", "eet": "Europe/Helsinki", "bst": "Europe/London",
	"et": "America/New_York", "est": "America/New_York", "edt": "America/New_York", "eastern": "America/New_York",
	"ct": "America/Chicago", "cst": "America/Chicago", "cdt": "America/Chicago", "central": "America/Chicago",
	"mt": "America/Denver", "mst": "America/Denver", "mdt": "America/Denver", "mountain": "America/Denver",
	"pt": "America/Los_Angeles", "pst": "America/Los_Angeles", "pdt": "America/Los_Angeles", "pacific": "America/Los_Angeles",
	"ist": "Asia/Kolkata", "jst": "Asia/Tokyo", "aest": "Australia/Sydney",
	"munich": "Europe/Berlin", "hamburg": "Europe/Berlin", "cologne": "Europe/Berlin", "frankfurt": "Europe/Berlin",
	"germany": "Europe/Berlin", "geneva": "Europe/Zurich", "basel": "Europe/Zurich", "switzerland": "Europe/Zurich",
	"milan": "Europe/Rome", "italy": "Europe/Rome", "barcelona": "Europe/Madrid", "spain": "Europe/Madrid",
	"lyon": "Europe/Paris", "france": "Europe/Paris", "uk": "Europe/London", "england": "Europe/London",
	"manchester": "Europe/London", "edinburgh": "Europe/London", "st petersburg": "Europe/Moscow",
	"nyc": "America/New_York", "boston": "America/New_York", "washington": "America/New_York", "miami": "America/New_York",
	"atlanta": "America/New_York", "philadelphia": "America/New_York", "dallas": "America/Chicago", "houston": "America/Chicago",
	"austin": "America/Chicago", "san francisco": "America/Los_Angeles", "la": "America/Los_Angeles",
	"seattle": "America/Los_Angeles", "san diego": "America/Los_Angeles", "portland": "America/Los_Angeles",
	"montreal": "America/Toronto", "ottawa": "America/Toronto", "rio": "America/Sao_Paulo", "rio de janeiro": "America/Sao_Paulo",
	"beijing": "Asia/Shanghai", "shenzhen": "Asia/Shanghai", "china": "Asia/Shanghai", "mumbai": "Asia/Kolkata",
	"delhi": "Asia/Kolkata", "new delhi": "Asia/Kolkata", "bangalore": "Asia/Kolkata", "chennai": "Asia/Kolkata",
	"india": "Asia/Kolkata", "osaka": "Asia/Tokyo", "kyoto": "Asia/Tokyo", "japan": "Asia/Tokyo", "hanoi": "Asia/Bangkok",
	"abu dhabi": "Asia/Dubai", "tel aviv": "Asia/Jerusalem", "cape town": "Africa/Johannesburg",
	"canberra": "Australia/Sydney", "wellington": "Pacific/Auckland", "hawaii": "Pacific/Honolulu",
}

var regions = []string{"Europe", "America", "Asia", "Africa", "Australia", "Pacific", "Atlantic", "Indian", "America/Argentina", "America/Indiana", "Antarctica"}

// A zone by its name, its city, a usual abbreviation or its distance from UTC.
func findZone(name string) (*time.Location, error) {
	plain := strings.ToLower(strings.TrimSpace(strings.ReplaceAll(name, "_", " ")))
	if known, ok := nicknames[plain]; ok {
		return time.LoadLocation(known)
	}
	if offset, ok := readOffset(plain); ok {
		return time.FixedZone(formatOffset(offset), offset), nil
	}
	city := strings.TrimSpace(strings.Split(plain, ",")[0])
	if known, ok := nicknames[city]; ok {
		return time.LoadLocation(known)
	}
	candidates := []string{zoneName(city)}
	for _, region := range regions {
		candidates = append(candidates, region+"/"+zoneName(city))
	}
	for _, candidate := range candidates {
		if zone, err := time.LoadLocation(candidate); err == nil && candidate != "Local" {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("I do not know the zone %q. Name a large city (\"Tokyo\"), a zone (\"Europe/Berlin\"), or a distance from UTC (\"UTC+5:30\").", name)
}

// "port-au-prince" -> "Port-au-Prince", "new york" -> "New_York", "europe/berlin" -> "Europe/Berlin"
func zoneName(plain string) string {
	small := map[string]bool{"au": true, "of": true, "es": true, "de": true}
	out, word := "", ""
	end := func(separator string) {
		if word != "" && !(small[word] && out != "") {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		out, word = out+word+separator, ""
	}
	for _, letter := range plain {
		switch letter {
		case ' ':
			end("_")
		case '-', '/':
			end(string(letter))
		default:
			word += string(letter)
		}
	}
	end("")
	return out
}

// Seconds east of UTC of "utc+2", "+05:30", "gmt-3".
func readOffset(plain string) (int, bool) {
	text := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(plain, "utc"), "gmt"), " ", "")
	if len(text) < 2 || (text[0] != '+' && text[0] != '-') {
		return 0, false
	}
	hoursText, minutesText, _ := strings.Cut(text[1:], ":")
	if len(hoursText) == 4 {
		hoursText, minutesText = hoursText[:2], hoursText[2:]
	}
	hours, err := strconv.Atoi(hoursText)
	minutes := 0
	if err == nil && minutesText != "" {
		minutes, err = strconv.Atoi(minutesText)
	}
	if err != nil || hours < 0 || hours > 14 || minutes < 0 || minutes > 59 {
		return 0, false
	}
	seconds := hours*3600 + minutes*60
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func formatOffset(seconds int) string {
	return time.Unix(0, 0).In(time.FixedZone("", seconds)).Format("UTC-07:00")
}

var layouts = []string{
	"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "2006-1-2 15:04", "2006-1-2",
	"2 January 2006 15:04", "2 January 2006", "2 Jan 2006 15:04", "2 Jan 2006", "January 2, 2006", "Jan 2, 2006",
	"2.1.2006 15:04", "2.1.2006", "2006/1/2 15:04", "2006/1/2",
}
var clockLayouts = []string{"15:04:05", "15:04", "3:04pm", "3:04 pm", "3pm", "3 pm"}

// A date, a time of today, or both; with what has to be said about it.
func readTime(text string, zone *time.Location, now time.Time) (time.Time, string, error) {
	plain := strings.Join(strings.Fields(text), " ")
	today := now.In(zone)
	switch strings.ToLower(plain) {
	case "now":
		return today, "", nil
	case "today":
		return midnight(today, 0), "", nil
	case "tomorrow":
		return midnight(today, 1), "", nil
	case "yesterday":
		return midnight(today, -1), "", nil
	}
	if at, err := time.Parse(time.RFC3339, plain); err == nil {
		return at.In(zone), "", nil
	}
	for _, layout := range layouts {
		for _, candidate := range []string{layout, strings.Replace(layout, " 15", "T15", 1)} {
			if at, err := time.ParseInLocation(candidate, plain, zone); err == nil {
				return at, skipped(at, candidate, plain), nil
			}
		}
	}
	for _, layout := range clockLayouts {
		if at, err := time.Parse(layout, strings.ToLower(plain)); err == nil {
			return time.Date(today.Year(), today.Month(), today.Day(), at.Hour(), at.Minute(), at.Second(), 0, zone), "", nil
		}
	}
	return time.Time{}, "", fmt.Errorf("I cannot read the time %q. Write it like \"2026-03-29 14:30\", \"2026-03-29\" or \"14:30\".", text)
}

func midnight(day time.Time, days int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day()+days, 0, 0, 0, 0, day.Location())
}

// A time that no clock there shows, because it was put forward.
func skipped(at time.Time, layout, text string) string {
	if at.Format(layout) == text || !strings.Contains(layout, "15") {
		return ""
	}
	if wanted, err := time.Parse(layout, text); err != nil || (wanted.Hour() == at.Hour() && wanted.Minute() == at.Minute()) {
		return ""
	}
	return "; clocks were put forward then, so the time asked for did not exist"
}
