"""Similar languages that the detector's library confuses, and the words that distinguish them.

``eldc`` knows 60 languages. It confidently reports a text in another language as the most similar one it knows:
Indonesian as Malay, Afrikaans as Dutch. `CHALLENGERS` lists, for each language reported, those that the text may be in
instead, as measured on NTREX-128 (``benchmarks/results/detection_neighbors.md``). The words were chosen by hand: each
is common in its language and spelled differently in another language of the group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

_CYRILLIC = "mk kk ky tt ba tg mn"
_CHALLENGERS = {
    "am": "ti",
    "ar": "ps sd ug",
    "az": "tk uz",
    "be": _CYRILLIC,
    "bg": _CYRILLIC,
    "bn": "as",
    "de": "lb",
    "es": "gl",
    "fa": "ps sd ug",
    "he": "yi",
    "hi": "ne bho",
    "hr": "bs sr-Latn",
    "is": "fo",
    "mr": "ne",
    "ms": "id",
    "nl": "af",
    "pt": "gl",
    "ru": _CYRILLIC,
    "sr": _CYRILLIC,
    "tr": "tk uz",
    "uk": _CYRILLIC,
    "ur": "ps sd ug",
}
CHALLENGERS: Mapping[str, frozenset[str]] = {tag: frozenset(others.split()) for tag, others in _CHALLENGERS.items()}
"""Languages that the library does not know, by the language as which it reports them."""

RIVALS: Mapping[str, str] = {"am": "ti", "bg": "mk", "de": "lb", "is": "fo", "nl": "af", "sr": "mk"}
"""The one challenger that the second detector reports if given as a hint: such a text may be in either language."""
UNHINTED = frozenset({"ne", "bho"})
"""Challengers that the second detector detects correctly, but gives up if another language is the hint."""
CLOSE: tuple[frozenset[str], ...] = (frozenset({"id", "ms"}), frozenset({"hr", "bs", "sr-Latn"}))
"""Groups in which only words decide: no library distinguishes these languages by letters."""

_WORDS = {
    "id": """
        bahwa karena bisa harus lainnya persen uang mobil kantor kantornya perusahaan kapan seberapa provinsi miliar
        delapan berbeda kesehatan informasi gratis konser museum universitas mahasiswa sepeda toko kamar dokter obat
        listrik internasional kebijakan keamanan posisi tim pria aku kau bilang pakai menit kasus situs tanggal biaya
        berbicara bicara berhasil bagian hal namun maret juni juli agustus desember senin kamis jumat berangkat
        stasiun bandara pesanan memesan inggris prancis jepang eropa nomor butuh membutuhkan gimana pertanyaan
        menambahkan memenangkan poin berarti menyampaikan mendukung partai pernyataan menemukan adanya sebesar
        mengirimkan menempatkan kesepakatan sanksi pribadi negosiasi mendatang memulai laki-laki konferensi
        keterampilan kanker kampanye ilegal dukungan ditemukan diperkirakan dekade bisnis area aksi kualitas
        aktivitas jadwal rumahnya enggak nggak kemarin handphone ponsel resep masakan lemari kulkas bus nuklir
        selesai sepak olahraga""",
    "ms": """
        bahawa kerana boleh selepas apabila ialah semasa peratus wang syarikat bilakah lapan berbeza kesihatan
        maklumat percuma konsert muzium universiti pelajar basikal kedai bilik doktor ubat elektrik antarabangsa
        bahagian kawasan kerajaan kedudukan lelaki baharu semula sebarang tiada kes minit telefon bandar bercakap
        berjaya sepatutnya mahu beliau kumpulan menghantar kanak-kanak tentera amat cuba sahaja encik awak hendaklah
        mac jun julai ogos disember isnin khamis jumaat ahad bertolak stesen tempahan menempah inggeris perancis jepun
        eropah jadual nombor sukar bagaimanakah berapakah menambah memenangi menyokong bagaimanapun mengikut dijangka
        bermakna mengundi keganasan kecederaan teruk perniagaan kemuncak jurucakap berbanding terkorban talian sekatan
        pendakwa mesej menyertai jenama separuh persekutuan mesyuarat nuklear jenayah kempen berkenaan akhbar rakan
        kualiti aktiviti semalam resipi bas sukan supaya tandas kereta bola-sepak hendak""",
    "hr": """
        gdje ovdje negdje prije poslije vrijeme uvijek dijete djeca djece mlijeko rijeka riječ riječi mjesto mjesta
        mjestu dio dijela dijelu cijeli cijela lijepo lijep lijepa vidjeti vidio vrijedi svijet svijeta svijetu čovjek
        dvije obje predsjednik predsjednika umjesto sljedeće sljedeći mjesec mjeseca mjeseci ponedjeljak srijeda želio
        htjela htio voljeo razumjeti pjesma pjesme snijeg uspjeh promjene smjeti cijena cijene cijenu vjera bijeli
        bijela nedjelja nedjelje nedjelju nedjeljom također ured uredu smještaj liječnik izvještaj tko tijekom tjedan
        tjedna tjednu tjedni milijun milijuna tisuća tisuće vjerojatno vlak vlaka vlakom vlakovi sveučilište
        sveučilišta povijest povijesti obitelj obitelji glazba glazbe zrakoplov kruh susjed uvjet uvjete uvjeti sustav
        sustava kazalište kazališta kazalištu kolodvor općenito siječnja veljače ožujka travnja svibnja lipnja srpnja
        kolovoza rujna listopada studenoga studenog prosinca siječnju veljači ožujku travnju svibnju lipnju srpnju
        kolovozu rujnu listopadu studenome prosincu europa europe europi europski europska europske europskoj glede
        unatoč tvrtka tvrtke poduzeće priopćenju trenutačno njezina njezin njezino gospodarstvo znanost znanosti
        nogomet juha ravnatelj tipkovnica zaslon računalo ulaznica ulaznice nogometni zračna stupnjeva""",
    "bs": """
        gdje ovdje negdje prije poslije vrijeme uvijek dijete djeca djece mlijeko rijeka riječ riječi mjesto mjesta
        mjestu dio dijela dijelu cijeli cijela lijepo lijep lijepa vidjeti vidio vrijedi svijet svijeta svijetu čovjek
        dvije obje predsjednik predsjednika umjesto sljedeće sljedeći mjesec mjeseca mjeseci ponedjeljak srijeda želio
        htjela htio voljeo razumjeti pjesma pjesme snijeg uspjeh promjene smjeti cijena cijene cijenu vjera bijeli
        bijela nedjelja nedjelje nedjelju nedjeljom također ured uredu smještaj liječnik izvještaj šta hiljada hiljade
        hiljadu miliona milion evropa evrope evropi evropski evropska porodica porodice porodici univerzitet
        univerziteta univerzitetu januara februara marta aprila maja juna jula septembra oktobra novembra decembra voz
        voza vozovi muzika muzike fudbal sistem sistema pozorište pozorišta pozorištu aerodrom aerodroma veoma tokom
        desilo naučnici nauka nauke kancelarija kancelariji dozvola ko takođe kompjuter zvaničnici zemljotres partija
        partije sekretar saopštio istakao povrede nezavisnost sedmica sedmice sedmicu sedmici vjerovatno historija
        historije historiju hljeb lahko mehko kahva kafa augusta uvjeti općina općine""",
    "sr-Latn": """
        šta hiljada hiljade hiljadu miliona milion evropa evrope evropi evropski evropska porodica porodice porodici
        univerzitet univerziteta univerzitetu januara februara marta aprila maja juna jula septembra oktobra novembra
        decembra voz voza vozovi muzika muzike fudbal sistem sistema pozorište pozorišta pozorištu aerodrom aerodroma
        veoma tokom desilo naučnici nauka nauke kancelarija kancelariji dozvola ko takođe kompjuter zvaničnici
        zemljotres partija partije sekretar saopštio istakao povrede nezavisnost nedelja nedelje nedelju nedelji gde
        ovde negde pre posle vreme uvek dete deca dece mleko hleb reka reč reči mesto mesta mestu deo dela delu celu
        ceo cela lepo lep lepa videti vredi sveta svetu čovek dve obe predsednik predsednika umesto sledeće sledeći
        verovatno mesec meseca meseci ponedeljak sreda želeo htela hteo voleo razumeti pesma pesme sneg uspeh promene
        cena cene cenu beli bela bezbednost avgusta istorija istorije nedeljom smeštaj izveštaj vesti""",
    "nl": """
        de een het zijn niet voor wordt naar bij deze zij ze wij ik je jij mijn uw hun heeft hebben er dit dat worden
        werd waren maar nog wel geen hoe waar wanneer welke zich heb ben u over door tussen tijdens jaar moet na ons
        uit was wat in van haar""",
    "af": """
        'n nie vir hulle jy julle hierdie daardie baie sy ons wat deur uit oor na tydens waar wanneer watter moet
        wees was word dit sê se my jou geen nuwe dae jaar by het dat hoe maar nog tussen u voor in van ek haar hy""",
    "es": """
        el los las del y una un con por para muy también más pero lo es fue sus hay cuál cuáles qué quién quiénes
        cuándo dónde cuántos cuántas cuánto cómo está están hasta desde yo usted donde son ha han esta este a o no en
        como dos da la su al sin cuando otro otra otros otras tiene puede hacer quiero tengo he todavía así""",
    "pt": """
        não uma um são também mais com em foi seu seus sua suas à às pelo pela está estão qual quais quem quando onde
        como quantos quantas você eu muito já ele ela eles isso este esta até depois tem há os as para por do da dos
        das ao aos ou desde estes o a na no é e outro outra outros outras pode podem ter desta deste nas pelos pelas
        muita muitos muitas tinha foram disse lhe lhes ainda dois duas sem só assim isto mas maior melhor nem anos ano
        houve então alguma nenhuma""",
    "gl": """
        unha dunha nunha non máis tamén moi cando quen onde ao aos á ás coa co polo pola hai foi súa súas seu seus
        esta está xa hoxe eu ti vostede cal cales cantos cantas canto como este eles os as ata despois ten cunha nun
        dun estes ou con para por pero un desde están son do da dos das é o a na no ela en
        e outro outra outros outras pode poden ter desta deste nas polo polos polas unhas moito moita moitos moitas
        tiña foron dixo lle lles aínda dous dúas sen cos coas máis só así isto fixo ademais mentres nin teñen algunha
        ningunha maior mellor houbo entón xente anos ano""",
    "sr": """
        је су у са који која које ће није нису био била било били или али кад када где гдје шта ко само већ још јер
        сам смо бити овај ова ово њих његов ја ми мој има могу може од што како да до им""",
    "mk": """
        е во со дека ќе го ги им ја беа беше била било сум сме сте што кој која кое кои каде кога како само веќе уште
        бидејќи овој оваа ова нив неговиот јас ние ми мојот има може можат сите од до да или""",
    "bg": """
        е в във с със че ще го ги им са бяха беше била било били съм сме сте какво кой която което които къде кога как
        само вече още защото този тази това техните аз ние ми има може могат всички от до да или""",
}
_GROUPS = (("id", "ms"), ("hr", "bs", "sr-Latn"), ("nl", "af"), ("es", "pt", "gl"), ("sr", "mk", "bg"))
WORDS: Mapping[str, frozenset[str]] = {tag: frozenset(words.split()) for tag, words in _WORDS.items()}
"""Words of each language that at least one other language of its group spells differently."""
NEIGHBORS: Mapping[str, tuple[str, ...]] = {tag: group for group in _GROUPS for tag in group}
"""Group of each language that has such words."""

# Characters and words of Cantonese that do not occur in written Mandarin.
_CANTONESE = frozenset("嘅咗唔冇佢嗰喺哋啲咁嚟嘢噉乜嫲焗瞓揾搵咩啱嘥攞")
_CANTONESE_WORDS = ("點樣", "點解", "邊度", "邊個", "琴日", "聽日", "而家")
_PUNCTUATION = '.,;:!?¿¡…"()[]«»„“”‘–-'


def telling_words(text: str, tags: Collection[str]) -> dict[str, int]:
    """Number of distinct words of ``text`` in the list of each of ``tags``; a word may be in several lists."""
    words = {word.strip(_PUNCTUATION) for word in text.casefold().replace("’", "'").split()}
    return {tag: len(words & WORDS[tag]) for tag in tags}


def is_cantonese(text: str) -> bool:
    """Whether a text in ideographs has a character or word that only Cantonese uses."""
    return not _CANTONESE.isdisjoint(text) or any(word in text for word in _CANTONESE_WORDS)


def ideograph_language(text: str) -> str | None:
    """Whether a text in ideographs without kana is Chinese or Japanese, by characters that only one of them uses.

    Japanese uses those of JIS X 0208; its own simplifications are neither in GB 2312 (simplified Chinese) nor in Big5
    (traditional). None if all characters are used in both, or some only in one and some only in the other.
    """
    japanese = chinese = 0
    for character in text:
        if character < "\u3400":
            continue
        if not _encodes(character, "euc_jp"):
            chinese += 1
        elif not _encodes(character, "gb2312") and not _encodes(character, "big5"):
            japanese += 1
    if bool(japanese) == bool(chinese):
        return None
    return "ja" if japanese else "zh"


def _encodes(character: str, codec: str) -> bool:
    # EUC-JP encodes JIS X 0212 (rare characters) in three bytes, JIS X 0208 in two.
    try:
        return len(character.encode(codec)) == 2
    except UnicodeEncodeError:
        return False
